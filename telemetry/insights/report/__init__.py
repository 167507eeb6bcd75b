"""Weekly and monthly reports: what is in them, what it is called, and how it looks as Markdown and as HTML. Pure."""
