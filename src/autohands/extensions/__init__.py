"""What ships with AutoHands, through the same door as a stranger's: entry points and `autohands.sdk`."""
