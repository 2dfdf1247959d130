"""Looking at hosts: probes are run on them and judged; who they are is proved; commands are sent in a fence."""
