"""SQL steps: sessions at their targets, and what is sent there."""
