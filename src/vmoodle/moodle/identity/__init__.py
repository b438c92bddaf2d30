"""What makes a site itself and no other, what is a secret in it, and who its people are."""
