"""The wire contract: every request, response, problem and domain event, written once.

Services validate with these models, the client parses with them.
"""
