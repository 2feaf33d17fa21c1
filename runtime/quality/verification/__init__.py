"""Is a backend's answer right: compared with a reference at every step, the stage and the node that is not, found."""
