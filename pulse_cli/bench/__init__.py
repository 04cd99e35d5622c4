"""`pulse bench`: drive a running stack with Locust, measure all its targets, judge them.

plan       what one run is: users, pacing, window, identities (told to each generator)
pacing     when each user sends: constant period, random phase, ramp
generator  the process that is Locust: users of a scenario, every sample kept
drive      starts generators and the gateway probe, gathers what they send
floor      a trivial server, to measure what the generator itself adds
probe      the process that measures the gateway's overhead in pairs
identities seeded users and their tokens, logged in before the run
scrape     what services say of themselves, over the measured window
processes  CPU time of the stack's processes
statistics exact percentiles, bootstrap intervals, exact binomial bounds
judge      measurements and targets -> checks -> verdict
report     the JSON report; `table` shows it to people
run        the order of all that
"""
