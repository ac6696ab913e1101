"""What Start* operations look for in a video, frame by frame, in members of the API."""
