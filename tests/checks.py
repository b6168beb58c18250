"""What those tests in Python share that are plain scripts: they go on after a failure, and count."""

failures = 0


def check(condition, message):
    global failures
    if not condition:
        failures += 1
        print(f"failed: {message}")
