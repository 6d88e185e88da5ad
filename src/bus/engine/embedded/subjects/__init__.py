"""The subjects of a namespace: how many events each has and which is the newest, kept beside its log."""
