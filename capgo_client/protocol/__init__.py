"""What is said to the service and what its answers mean. Pure: no clock, no file, no socket."""
