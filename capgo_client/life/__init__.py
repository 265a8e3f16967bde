"""What is remembered, and what follows from it. Pure: a state, an event and a clock reading give a new state."""
