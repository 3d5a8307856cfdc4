from hypothesis import settings

# Shared machines are slow now and then: a property must fail by its claim, not by time.
settings.register_profile("matching", deadline=None, max_examples=50)
settings.load_profile("matching")
