"""What is carried from one site to another: tables and wording."""
