"""What the particle methods are made of; the register does not look for methods here."""
