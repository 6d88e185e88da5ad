"""Delivering what is stored: to those who keep up, and to those who read the log at their own pace."""
