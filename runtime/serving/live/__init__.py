"""Work that comes in one by one and is answered at once: a worker a bundle, with bounded queues."""
