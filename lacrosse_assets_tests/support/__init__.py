"""What tests share: stores and servers to test on, the reference model, and builders of input. No tests."""
