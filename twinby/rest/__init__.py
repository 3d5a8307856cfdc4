"""What every REST door shares: callers, throttle, strict input, one shape of error."""
