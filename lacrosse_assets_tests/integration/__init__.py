"""Tests of one part of the platform on real stores and servers, by means of the fixtures `world` and `stores`."""
