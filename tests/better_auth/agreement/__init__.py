"""What the live agreement is made of: the real servers, people and their cookies, mutations, rules."""
