"""The MCP server: other agents start, follow and steer runs. Needs the extra ``mcp``."""
