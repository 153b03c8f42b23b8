ardour {
	["type"]    = "EditorAction",
	name        = "UGOSA: separate under range markers",
	license     = "MIT",
	author      = "UGOSA Server",
	description = [[Takes the selected audio region (or the only region of the selected track) apart. Range markers
over it say where an instrument is silent: "no vocals", "-drums", "only bass". The stems become tracks at the same
position; the region is muted. Needs the helper ugosa-ardour and a running UGOSA server.]]
}

-- Ardour keeps only the bytecode of factory, so all functions are inside. ugosa_headless.lua asks for them with
-- factory { library = true }.
function factory (params)
	local ugosa = {}

	function ugosa.quote (text)
		return "'" .. text:gsub ("'", "'\\''") .. "'"
	end

	-- Returns the quoted command of the helper, or nil and what to do.
	function ugosa.find_helper ()
		local home = os.getenv ("HOME") or ""
		for _, path in ipairs { os.getenv ("UGOSA_ARDOUR") or "", "ugosa-ardour", home .. "/.local/bin/ugosa-ardour" } do
			local pipe = path ~= "" and io.popen ("command -v " .. ugosa.quote (path) .. " 2>/dev/null")
			local found = pipe and pipe:read ("l")
			if pipe then pipe:close () end
			if found then return ugosa.quote (found) end
		end
		return nil, "The helper ugosa-ardour is not installed. In the folder of UGOSA Server, run\n\n"
			.. "    pip install ./clients/python ./clients/ardour\n\n"
			.. "or set the environment variable UGOSA_ARDOUR to its path, and start Ardour again."
	end

	-- Returns a new empty folder for the files of one run.
	function ugosa.new_folder ()
		local pipe = io.popen ("mktemp -d \"${TMPDIR:-/tmp}/ugosa-XXXXXX\"")
		local folder = pipe:read ("l")
		pipe:close ()
		return folder
	end

	function ugosa.json_string (text)
		return '"' .. text:gsub ('[%c"\\]', function (c) return string.format ("\\u%04x", c:byte ()) end) .. '"'
	end

	-- Range markers that meet the region, cut to it and counted from its start, as JSON.
	function ugosa.ranges (session, from, to)
		local items = {}
		for l in session:locations ():list ():iter () do
			local special = l:is_session_range () or l:is_auto_loop () or l:is_auto_punch () or l:is_hidden ()
			if l:is_range_marker () and not special then
				local first = math.max (l:start ():samples (), from)
				local last = math.min (l:_end ():samples (), to)
				if first < last then
					items[#items + 1] = string.format ('{"name": %s, "start_frame": %d, "end_frame": %d}',
						ugosa.json_string (l:name ()), first - from, last - from)
				end
			end
		end
		return items
	end

	-- Describes a region for the helper. Returns JSON, or nil and what to do.
	function ugosa.request (session, region)
		local audio = region:to_audioregion ()
		local position, frames = region:position ():samples (), region:length ():samples ()
		local channels = {}
		for c = 0, audio:n_channels () - 1 do
			local file = region:source (c):to_filesource ()
			if file:isnil () then
				return nil, "The region " .. region:name () .. " has no audio file. Bounce it first (Region > Bounce)."
			end
			channels[#channels + 1] = string.format ('{"path": %s, "channel": %d}',
				ugosa.json_string (file:path ()), file:channel ())
		end
		local ranges = ugosa.ranges (session, position, position + frames)
		if #ranges == 0 then
			return nil, "No range marker lies over the region " .. region:name () .. ".\n\n"
				.. "Draw ranges over the time in which an instrument is silent (drag in the Range Markers ruler), "
				.. "and name them for example \"no vocals\" or \"only drums\"."
		end
		return string.format ('{"region": %s, "sample_rate_hz": %d, "start_frame": %d, "frames": %d, '
			.. '"channels": [%s], "ranges": [%s]}', ugosa.json_string (region:name ()),
			math.floor (session:nominal_sample_rate ()), region:start ():samples (), frames,
			table.concat (channels, ", "), table.concat (ranges, ", "))
	end

	-- The only audio region of a track, or nil.
	function ugosa.only_region (track)
		local only
		for region in track:playlist ():region_list ():iter () do
			if only or region:to_audioregion ():isnil () then return nil end
			only = region
		end
		return only
	end

	-- The track whose playlist has a region.
	function ugosa.track_of (session, region)
		local id = region:to_stateful ():id ():to_s ()
		for route in session:get_routes ():iter () do
			local track = route:to_track ()
			if not track:isnil () then
				for other in track:playlist ():region_list ():iter () do
					if other:to_stateful ():id ():to_s () == id then return track end
				end
			end
		end
	end

	-- Fader and panner of the stems as on the original track.
	function ugosa.copy_mix (from, to)
		for _, name in ipairs { "gain_control", "pan_azimuth_control", "pan_width_control" } do
			local source, target = from[name] (from), to[name] (to)
			if not source:isnil () and not target:isnil () then
				target:set_value (source:get_value (), PBD.GroupControlDisposition.NoGroup)
			end
		end
	end

	-- Reads what the helper has said so far; a last line without its end is left for later.
	function ugosa.read_events (text)
		local events = { stems = {}, notes = {} }
		for line in text:gmatch ("([^\n]*)\n") do
			local kind, first, second = line:match ("^([^\t]*)\t?([^\t]*)\t?(.*)$")
			if kind == "stem" or kind == "region" then
				events.stems[#events.stems + 1] = { source = first, path = second }
			elseif kind == "note" then
				events.notes[#events.notes + 1] = first
			elseif kind == "progress" then
				events.fraction, events.phase = tonumber (first), second
			elseif kind == "pid" or kind == "error" then
				events[kind] = first
			elseif kind == "done" then
				events.done = true
			end
		end
		return events
	end

	local function read_file (path)
		local file = io.open (path, "rb")
		local text = file and file:read ("a") or ""
		if file then file:close () end
		return text
	end

	-- Runs the helper in the background under a progress window. Cancel takes what is learned so far; in the window that
	-- follows, it cancels the job.
	function ugosa.separate (helper, folder)
		local log, said = folder .. "/events", folder .. "/stderr"
		os.execute ("(" .. helper .. " separate " .. ugosa.quote (folder .. "/request.json") .. " -o "
			.. ugosa.quote (folder .. "/stems") .. " >" .. ugosa.quote (log) .. " 2>" .. ugosa.quote (said)
			.. "; echo exit >>" .. ugosa.quote (log) .. ") &")
		local next_titles = { "UGOSA: Cancel ends the job", "UGOSA: cancelling" }
		local window = LuaDialog.ProgressWindow ("UGOSA: Cancel takes what is learned so far", true)
		local events, ended = { stems = {}, notes = {} }, false
		while not ended do
			local text = read_file (log)
			events, ended = ugosa.read_events (text), text:find ("exit\n", 1, true) ~= nil
			window:progress (events.fraction or 0, events.phase or "Connecting")
			if window:canceled () and events.pid and not ended and next_titles[1] then
				os.execute ("kill -TERM " .. events.pid .. " 2>/dev/null")
				window:done () -- a window that was cancelled stays so
				window = LuaDialog.ProgressWindow (table.remove (next_titles, 1), true)
			end
			ARDOUR.LuaAPI.usleep (100000)
		end
		window:done ()
		if not events.done and not events.error then
			events.error = "The helper ended without a word:\n" .. read_file (said):sub (-1000)
		end
		return events
	end

	if params and params.library then return ugosa end

	local function selected_region ()
		local selection, found = Editor:get_selection (), {}
		for region in selection.regions:regionlist ():iter () do
			if not region:to_audioregion ():isnil () then found[#found + 1] = region end
		end
		if #found == 0 then
			for route in selection.tracks:routelist ():iter () do
				local track = route:to_track ()
				found[#found + 1] = not track:isnil () and ugosa.only_region (track) or nil
			end
		end
		if #found == 1 then return found[1] end
		return nil, #found == 0 and "Select an audio region, or a track that has just one, and run this again."
			or "Several regions are selected. Select one, and run this again."
	end

	-- Imports the stems, one track each, cut to the original.
	local function insert (region, events, folder)
		local original = ugosa.track_of (Session, region)
		local known, files = {}, C.StringVector ()
		for route in Session:get_routes ():iter () do known[route:to_stateful ():id ():to_s ()] = true end
		for _, stem in ipairs (events.stems) do
			local named = folder .. "/" .. region:name ():gsub ("/", "_") .. " " .. stem.source .. ".wav"
			os.rename (stem.path, named)
			files:push_back (named)
		end
		Editor:do_import (files, Editing.ImportDistinctFiles, Editing.ImportAsTrack, ARDOUR.SrcQuality.SrcBest,
			ARDOUR.MidiTrackNameSource.SMFTrackName, ARDOUR.MidiTempoMapDisposition.SMFTempoIgnore,
			region:position (), ARDOUR.PluginInfo (), ARDOUR.Track (), false)
		for route in Session:get_routes ():iter () do
			local track = route:to_track ()
			if not known[route:to_stateful ():id ():to_s ()] and not track:isnil () then
				ugosa.copy_mix (original, track)
				for stem in track:playlist ():region_list ():iter () do
					stem:to_audioregion ():set_scale_amplitude (region:to_audioregion ():scale_amplitude ())
				end
			end
		end
		region:set_muted (true)
	end

	return function ()
		local function tell (text)
			LuaDialog.Message ("UGOSA", text, LuaDialog.MessageType.Warning, LuaDialog.ButtonType.Close):run ()
		end
		local region, problem = selected_region ()
		if not region then return tell (problem) end
		local helper
		helper, problem = ugosa.find_helper ()
		if not helper then return tell (problem) end
		local request
		request, problem = ugosa.request (Session, region)
		if not request then return tell (problem) end
		local folder = ugosa.new_folder ()
		local file = io.open (folder .. "/request.json", "wb")
		file:write (request)
		file:close ()
		local events = ugosa.separate (helper, folder)
		if events.error then
			tell (events.error)
		else
			insert (region, events, folder)
			if #events.notes > 0 then tell (table.concat (events.notes, "\n")) end
		end
		os.execute ("rm -rf " .. ugosa.quote (folder))
	end
end
