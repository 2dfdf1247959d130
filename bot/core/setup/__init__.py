"""What a site is set up with: procedures are linted, sudo rules are made."""
