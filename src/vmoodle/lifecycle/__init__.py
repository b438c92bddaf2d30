"""The life of servers, codebases and sites: one module per verb or noun."""
