"""What tests of AutoHands and of its extensions are made with: scripted models, fake services, clocks, contracts."""
