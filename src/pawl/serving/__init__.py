"""What is served over HTTP: pages over campaigns, live, and the predictions of a bundle."""
