"""A node that runs, and the commands that reach it: one socket in the store's folder, one request for each connection.

`place` says where the socket is, `message` what goes over it, `server` and `client` are its two ends, `verbs` what can be asked.
The one rule: whoever may open the socket may do what the store's owner may, and nobody else may open it.
"""
