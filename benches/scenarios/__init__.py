"""What is measured. `setup` has what the scenarios share: servers, users, rounds and the load generator."""
