"""Unit tests of products on small inputs: test files, the fixture `build` of pytest, and what makes both true."""
