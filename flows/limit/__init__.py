"""The shared limit: no window holds more arrivals than the API allows, whoever sends."""
