"""What the two programs say to each other: the contract, and facts as its messages.

`codec` is the only reader and writer of facts in this form. It knows neither gRPC nor policies.
"""
