"""Runs as OpenTelemetry traces: made of events, sent while a run goes on or afterwards."""
