"""What the embedded annotator and its training agree on. Pure: numpy and OpenCV.

`framing` says what the network is shown of a photo, `heads` what it answers, `readout`
what its answers mean.
"""
