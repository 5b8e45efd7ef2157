"""A beat that imports this module pings twice a second, and believes no sign older than five seconds."""

from scheduled_tasks.beat import ping, scheduler

ping.PING_EVERY = 0.5
ping.LOOK_EVERY = 0.1
scheduler.HEARTBEAT_EVERY = 1.0
scheduler.WORKS_WITHIN = 5.0
