"""Who may do what: principals and their rights, tokens, and the file that says so. It knows neither HTTP nor events."""
