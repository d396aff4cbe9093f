"""From uses to a plan: classes, statements and values, with every expression tried in every place where it runs."""
