"""What tests are made of: real parts, places to break them, and what counts on the other side. bench/ uses it too."""
