"""Options of commands: each declared once, and the settings that groups of them build."""
