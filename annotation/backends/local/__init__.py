"""Vision-Language Models on our own GPU, read through their logits."""
