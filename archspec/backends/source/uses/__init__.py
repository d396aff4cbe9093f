"""What the source back end asks of a network: its traced scopes, which are alike, and which params stay arguments."""
