-- Without a window: ardour7-lua -- ugosa_headless.lua SESSION_DIR SESSION_NAME TRACK [option of `ugosa-ardour separate`]...
--
-- Takes the only region of a track apart under the range markers over it, puts the stems on tracks of their own at
-- the same position, mutes the region, and saves the session. Ardour must not have the session open meanwhile. Ctrl-C
-- takes what is learned so far; the next one cancels the job.

local session_dir, session_name, track_name = arg[1], arg[2], arg[3]
local here = debug.getinfo (1, "S").source:match ("^@(.*/)") or "./"

function ardour () end
dofile (here .. "ugosa_separate.lua")
local ugosa = factory { library = true }

local function fail (text)
	io.stderr:write ("ugosa: ", text, "\n")
	os.exit (1)
end

local function load ()
	AudioEngine:set_backend ("None (Dummy)", "", "")
	return load_session (session_dir, session_name) or fail ("cannot open " .. session_name .. " in " .. session_dir)
end

-- Runs the helper to its end and returns its events; it says on stderr what it does. This program would not outlive
-- Ctrl-C, but ignores it, as the shell does, while it waits for a command.
local function run (command, log)
	os.execute ("trap : INT; " .. command .. " >" .. ugosa.quote (log))
	local file = io.open (log, "rb")
	local events = ugosa.read_events (file and file:read ("a") or "")
	if file then file:close () end
	if not events.done then fail (events.error or "the helper ended without a word") end
	return events
end

local function find_track (session)
	local route = session:route_by_name (track_name)
	local track = not route:isnil () and route:to_track ()
	if not track or track:isnil () then
		local names = {}
		for other in session:get_routes ():iter () do
			if not other:to_track ():isnil () then names[#names + 1] = other:name () end
		end
		fail ("the session has no track '" .. track_name .. "'; it has: " .. table.concat (names, ", "))
	end
	return track
end

local function main ()
	if not track_name then fail ("usage: ardour7-lua -- ugosa_headless.lua SESSION_DIR SESSION_NAME TRACK [option]...") end
	local helper, problem = ugosa.find_helper ()
	if not helper then fail (problem) end

	-- Ardour is closed while the helper works and changes the file, so nothing of Ardour's is kept from one to the other.
	local session = load ()
	local region = ugosa.only_region (find_track (session))
	if not region then fail ("the track '" .. track_name .. "' must have exactly one region, and that with audio") end
	local request, why = ugosa.request (session, region)
	if not request then fail (why) end
	local region_id = region:to_stateful ():id ():to_s ()
	region = nil
	close_session ()

	local folder = ugosa.new_folder ()
	local file = io.open (folder .. "/request.json", "wb")
	file:write (request)
	file:close ()
	local options = {}
	for index = 4, #arg do options[#options + 1] = ugosa.quote (arg[index]) end
	local stems = run (helper .. " separate " .. ugosa.quote (folder .. "/request.json") .. " -o "
		.. ugosa.quote (folder .. "/stems") .. " " .. table.concat (options, " "), folder .. "/separated").stems
	local paths = {}
	for _, stem in ipairs (stems) do paths[#paths + 1] = ugosa.quote (stem.path) end
	local added = run (helper .. " add " .. ugosa.quote (session_dir .. "/" .. session_name .. ".ardour") .. " "
		.. region_id .. " " .. table.concat (paths, " "), folder .. "/added").stems

	session = load ()
	local original = find_track (session)
	region = ugosa.only_region (original)
	local outputs = original:output ():n_ports ():n_audio ()
	local master = session:master_out ()
	for _, stem in ipairs (added) do
		local new = ARDOUR.RegionFactory.region_by_id (PBD.ID (stem.path))
		if new:isnil () then fail ("Ardour has not taken up the stem " .. stem.source .. " (region " .. stem.path .. ")") end
		local inputs = new:to_audioregion ():n_channels ()
		local tracks = session:new_audio_track (inputs, outputs, nil, 1, track_name .. " " .. stem.source,
			ARDOUR.PresentationInfo.max_order, ARDOUR.TrackMode.Normal, false)
		for track in tracks:iter () do
			track:playlist ():add_region (new, region:position (), 1, false)
			ugosa.copy_mix (original, track)
			-- Without this, tracks that a script makes are connected to nothing, and the export is silent.
			for port = 0, math.min (outputs, master:isnil () and 0 or master:input ():n_ports ():n_audio ()) - 1 do
				track:output ():audio (port):connect (master:input ():audio (port):name ())
			end
		end
		io.stdout:write (track_name .. " " .. stem.source, "\n")
	end
	region:set_muted (true)
	session:save_state ("")
	os.execute ("rm -rf " .. ugosa.quote (folder))
	close_session ()
end

main ()
