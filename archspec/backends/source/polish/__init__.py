"""What a person would tidy up in a planned class: small rewrites from plan to plan, one rule a function."""
