std = "lua53+lua54"
max_line_length = 120
globals = { "gfx" }
read_globals = { "reaper" }
files["spec"] = { std = "+busted", globals = { "reaper", "gfx" } }
