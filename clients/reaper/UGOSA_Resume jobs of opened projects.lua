-- @noindex
-- Runs in the background from Scripts/__startup.lua, where "UGOSA: Setup" puts it.

local folder = debug.getinfo(1, "S").source:match("^@(.*[/\\])") or "./"
package.path = folder .. "?.lua;" .. package.path

require("ugosa.watcher")()
