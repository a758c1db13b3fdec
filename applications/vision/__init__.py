"""What the applications that look at images and at videos share."""
