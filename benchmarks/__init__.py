"""What is measured by hand. A package, lest one of that name among the installed ones comes first."""
