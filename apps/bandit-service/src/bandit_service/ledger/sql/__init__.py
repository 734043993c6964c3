"""The statements, one named file each."""
