"""What an assimilation is made of: scenes, the scan through them, labels, and what a resume needs."""
