"""Who competes, under one interface; each set up as its own documentation says, and generously where that is silent."""
