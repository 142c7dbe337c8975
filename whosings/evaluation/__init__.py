"""The paper's evaluation protocol, its tables and its figures."""
