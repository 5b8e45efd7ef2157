"""What must go on whoever is alive: heartbeats, runs that nobody ends, retention."""
