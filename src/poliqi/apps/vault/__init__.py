"""Secrets kept at several sites: any k of n give them back, fewer know nothing, a site that lies is named."""
