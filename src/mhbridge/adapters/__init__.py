"""What touches the outside world, one thing each: transports, destinations, stores. Each implements a port."""
